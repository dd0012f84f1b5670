import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.List;
import java.util.function.Supplier;
import org.apache.lucene.codecs.Codec;
import org.apache.lucene.document.Document;
import org.apache.lucene.document.Field;
import org.apache.lucene.document.FieldType;
import org.apache.lucene.index.IndexWriter;
import org.apache.lucene.index.IndexWriterConfig;
import org.apache.lucene.index.IndexableField;
import org.apache.lucene.index.LeafReader;
import org.apache.lucene.index.MergePolicy;
import org.apache.lucene.index.SegmentCommitInfo;
import org.apache.lucene.index.Term;
import org.apache.lucene.search.Query;
import org.apache.lucene.util.BytesRef;
import org.apache.lucene.util.Version;

/** What differs between Lucene 7.0 and 10: looked up by reflection, so that one source compiles against each. */
final class EngineAPI {
    static final int MAJOR = Version.LATEST.major;

    static final boolean HAS_SOFT_DELETES = hasMethod(IndexWriterConfig.class, "setSoftDeletesField", String.class);
    static final boolean HAS_PARENT_FIELD = hasMethod(IndexWriterConfig.class, "setParentField", String.class);

    private EngineAPI() {}

    private static boolean hasMethod(Class<?> owner, String name, Class<?>... parameters) {
        try {
            owner.getMethod(name, parameters);
            return true;
        } catch (NoSuchMethodException absent) {
            return false;
        }
    }

    private static Object call(Object target, Class<?> owner, String name, Class<?>[] parameters, Object... arguments)
            throws Exception {
        try {
            Method method = owner.getMethod(name, parameters);
            return method.invoke(target, arguments);
        } catch (InvocationTargetException wrapped) {
            throw wrapped.getCause() instanceof Exception ? (Exception) wrapped.getCause() : wrapped;
        }
    }

    /** The version's default codec with the stored fields in the given mode. */
    static Codec codec(String mode) throws Exception {
        Class<?> type = Codec.getDefault().getClass();
        for (var constructor : type.getConstructors()) {
            Class<?>[] parameters = constructor.getParameterTypes();
            if (parameters.length != 1 || !parameters[0].isEnum()) continue;
            for (Object constant : parameters[0].getEnumConstants()) {
                if (constant.toString().equals(mode)) return (Codec) constructor.newInstance(constant);
            }
        }
        throw new IllegalStateException(type + " has no mode " + mode);
    }

    static void setSoftDeletesField(IndexWriterConfig config, String field) throws Exception {
        if (!HAS_SOFT_DELETES) return;
        call(config, IndexWriterConfig.class, "setSoftDeletesField", new Class<?>[] {String.class}, field);
    }

    static void setParentField(IndexWriterConfig config, String field) throws Exception {
        if (!HAS_PARENT_FIELD) return;
        call(config, IndexWriterConfig.class, "setParentField", new Class<?>[] {String.class}, field);
    }

    static MergePolicy retaining(String field, Supplier<Query> kept, MergePolicy inner) throws Exception {
        if (!HAS_SOFT_DELETES) return inner;
        Class<?> type = Class.forName("org.apache.lucene.index.SoftDeletesRetentionMergePolicy");
        return (MergePolicy)
                type.getConstructor(String.class, Supplier.class, MergePolicy.class).newInstance(field, kept, inner);
    }

    /** Replaces softly where the version can, else hard. */
    static void softUpdate(IndexWriter writer, Term term, List<Document> block, Field mark) throws Exception {
        if (!HAS_SOFT_DELETES) {
            writer.updateDocuments(term, block);
        } else if (block.size() == 1) {
            call(writer, IndexWriter.class, "softUpdateDocument",
                    new Class<?>[] {Term.class, Iterable.class, Field[].class}, term, block.get(0), new Field[] {mark});
        } else {
            call(writer, IndexWriter.class, "softUpdateDocuments",
                    new Class<?>[] {Term.class, Iterable.class, Field[].class}, term, block, new Field[] {mark});
        }
    }

    static int softDeletedCount(SegmentCommitInfo info) throws Exception {
        if (!HAS_SOFT_DELETES) return 0;
        return (Integer) call(info, SegmentCommitInfo.class, "getSoftDelCount", new Class<?>[0]);
    }

    static Document stored(LeafReader reader, int document) throws Exception {
        if (!hasMethod(LeafReader.class, "storedFields")) {
            return (Document) call(reader, LeafReader.class, "document", new Class<?>[] {int.class}, document);
        }
        Object fields = call(reader, LeafReader.class, "storedFields", new Class<?>[0]);
        Class<?> type = Class.forName("org.apache.lucene.index.StoredFields");
        return (Document) call(fields, type, "document", new Class<?>[] {int.class}, document);
    }

    /** A point of seven dimensions of which four are indexed, as shapes are; null before such points. */
    static IndexableField shape(String name, byte[] packed) throws Exception {
        Class<?>[] three = {int.class, int.class, int.class};
        if (!hasMethod(FieldType.class, "setDimensions", three)) return null;
        FieldType type = new FieldType();
        call(type, FieldType.class, "setDimensions", three, 7, 4, 4);
        type.freeze();
        return new Field(name, new BytesRef(packed), type);
    }

    /** A vector of floats; null before Lucene 9. */
    static IndexableField vector(String name, float[] values) throws Exception {
        for (String type : new String[] {"KnnFloatVectorField", "KnnVectorField"}) {
            try {
                return (IndexableField) Class.forName("org.apache.lucene.document." + type)
                        .getConstructor(String.class, float[].class)
                        .newInstance(name, values);
            } catch (ClassNotFoundException absent) {
                continue;
            }
        }
        return null;
    }

    /** A vector of bytes; null before Lucene 9.5. */
    static IndexableField vector(String name, byte[] values) throws Exception {
        try {
            return (IndexableField) Class.forName("org.apache.lucene.document.KnnByteVectorField")
                    .getConstructor(String.class, byte[].class)
                    .newInstance(name, values);
        } catch (ClassNotFoundException absent) {
            return null;
        }
    }

    /** A doc-values field with a skip index; null before Lucene 10. */
    static IndexableField skipping(String type, String name, Object value) throws Exception {
        Class<?> owner = Class.forName("org.apache.lucene.document." + type);
        Class<?> valueType = value instanceof Long ? long.class : BytesRef.class;
        Class<?>[] parameters = {String.class, valueType};
        if (!hasMethod(owner, "indexedField", parameters)) return null;
        return (IndexableField) call(null, owner, "indexedField", parameters, name, value);
    }

    static void setCompoundRatio(MergePolicy policy, double ratio) throws Exception {
        if (hasMethod(MergePolicy.class, "setNoCFSRatio", double.class)) {
            call(policy, MergePolicy.class, "setNoCFSRatio", new Class<?>[] {double.class}, ratio);
        }
    }
}
